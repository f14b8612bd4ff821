"""The user study of Sec. 5.2: blinded ballots, a widget to answer them, and the analysis of Fig. 11 and Table 3."""

from gooddrag.userstudy.analysis import correlations, mean_ranks, read, truth_ranks
from gooddrag.userstudy.ballots import QUESTIONS, Ballot, Participant, ballots

__all__ = ["QUESTIONS", "Ballot", "Participant", "ballots", "correlations", "mean_ranks", "read", "truth_ranks"]
