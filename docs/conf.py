"""The site, from README, notebooks with their outputs, and documents: sphinx-build -c docs . _site (extra "site")."""

project, author = "GoodDrag notebooks", "The authors of GoodDrag notebooks"
extensions = ["myst_nb"]
include_patterns = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "notebooks/*.ipynb", "docs/*.md"]
include_patterns += ["storybook/weights/README.md"]
root_doc = "README"
nb_execution_mode = "off"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["misc.highlighting_failure", "myst.xref_missing"]  # "!pip"; links to files outside the site
html_theme = "sphinx_book_theme"
html_title = project
html_theme_options = {
    "repository_url": "https://github.com/gooddrag/gooddrag-notebooks",
    "use_repository_button": True,
    "launch_buttons": {"colab_url": "https://colab.research.google.com"},
    "path_to_docs": ".",
    "show_toc_level": 2,
}
CONTENTS = {
    "See it": ["00*"],
    "Build it": ["0[1-7]*"],
    "Judge it": ["08*", "09*", "10*", "11*"],
    "Appendices": ["12*", "13*"],
}


def contents(app, docname: str, source: list[str]) -> None:
    """README is the front page; only here does it carry the table of contents."""
    if docname == root_doc:
        for part, names in CONTENTS.items():
            rows = "\n".join(f"notebooks/{name}" for name in names)
            source[0] += f"\n```{{toctree}}\n:hidden:\n:glob:\n:caption: {part}\n{rows}\n```\n"
        rows = "docs/*\nstorybook/weights/README\nCHANGELOG\nCONTRIBUTING"
        source[0] += f"\n```{{toctree}}\n:hidden:\n:glob:\n:caption: Reference\n{rows}\n```\n"


def setup(app) -> None:
    app.connect("source-read", contents)
