"""docs/troubleshooting.md quotes what the product prints."""

import ast
import re
from pathlib import Path

import gooddrag

ROOT = Path(__file__).parents[1]
QUOTE = re.compile(r"^- `(.+)`$", re.M)


def texts():
    """Every text in the package's sources; what is filled in is "..."."""
    for file in sorted(Path(gooddrag.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                yield "".join(part.value if isinstance(part, ast.Constant) else "..." for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def is_printed(quote, sources):
    """Whether the fixed parts of a quote stand in one text of the sources, in this order."""
    parts = [part.strip() for part in quote.split("...") if part.strip()]
    pattern = re.compile(".*".join(map(re.escape, parts)), re.S)
    return bool(parts) and any(pattern.search(text) for text in sources)


def test_every_quote_is_what_the_product_prints():
    sources = list(texts())
    quotes = QUOTE.findall((ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8"))
    assert len(quotes) >= 25
    assert [quote for quote in quotes if not is_printed(quote, sources)] == []
    assert not is_printed("image: ... is not a picture; expected a miracle", sources)
