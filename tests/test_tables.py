"""The documents: filled from the files, one convention of DAI in every table and sentence."""

import json
import re

import pandas as pd
import pytest

from experiments import tables
from experiments.tables import CONVENTIONS, DOCUMENTS, ROOT, TABLES


def mixed_conventions(text):
    """Sentences, and rows of tables with their headers, that give a DAI and name no convention, or both."""
    found = []
    for paragraph in re.split(r"\n\s*\n", text):
        table = [line for line in paragraph.splitlines() if line.startswith("|")]
        prose = "\n".join(line for line in paragraph.splitlines() if not line.startswith("|"))
        blocks = [*re.split(r"(?<=[.!?])(?<!Eq\.)\s+|\n(?=[-#])", prose), *(f"{table[0]}\n{row}" for row in table[2:])]
        for block in blocks:
            named = sum(name in block for name in CONVENTIONS.values())
            if "DAI" in block and re.search(r"\d\.\d|\d ?%", block) and named != 1:
                found.append(block)
    return found


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.parent.name + "/" + path.name)
def test_documents_show_what_the_files_hold_and_mix_no_conventions(path):
    text = path.read_text(encoding="utf-8")
    assert tables.filled(text) == text, "run python -m experiments.run documents"
    assert mixed_conventions(text) == []


@pytest.mark.parametrize("path", [ROOT / "CHANGELOG.md", *sorted(ROOT.glob("notebooks/*.ipynb"))], ids=lambda p: p.name)
def test_sentences_about_dai_name_one_convention(path):
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
        said = (output.get("data", {}) for cell in cells for output in cell.get("outputs", []))
        text += "\n\n" + "\n\n".join("".join(data.get("text/markdown", "")) for data in said)
    assert mixed_conventions(text.split("\n## 0.1")[0]) == []


def test_the_documents_show_every_table_once():
    texts = [path.read_text(encoding="utf-8") for path in DOCUMENTS]
    shown = [name for text in texts for name in tables.MARKED.findall(text)]
    assert sorted(shown) == sorted(TABLES) and len(shown) == sum(text.count("<!-- begin ") for text in texts)
    assert tables.filled("a <!-- begin run -->old<!-- end run --> b").count(tables.run()) == 1


def test_means_ratios_and_arrivals_are_the_tables_own(monkeypatch):
    """A failed edit is never left out of a mean."""
    rows = [
        {"sample": s, "method": m, "seed": 0, "width": 128, "state": "done", "dai_1": d, "distance_left_px": left}
        for m, values in {"Unedited": (4.0, 4.0), "GoodDrag": (1.0, 3.0), "Other": (4.0, 4.0)}.items()
        for s, d, left in zip("ab", values, (1.0, 99.0), strict=True)
    ]
    table = pd.DataFrame(rows)
    for g in tables.GAMMAS:
        table[f"dai_{g}"] = table["dai_1"]
    monkeypatch.setattr(tables, "bench", lambda name="": table)
    assert tables.dai("paper").splitlines()[3].startswith("| GoodDrag | 2.0000 (50%) |")
    assert "| Other | 0.50 (0.25 to 0.75) |" in tables.ratios("paper")
    assert tables.arrived(table[:2]) == "1" and tables.arrived(table[:2].assign(distance_left_px=None)) == "-"
    table.loc[table["method"] == "Other", "dai_1"] = [4.0, float("nan")]
    assert tables.dai("paper").splitlines()[4].startswith("| Other | - |")
    with pytest.raises(ValueError, match="expected a number for every sample"):
        tables.ratios("paper")
