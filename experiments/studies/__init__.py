"""The paper's comparisons over many edits: one module a question, computed once and kept in results/."""
