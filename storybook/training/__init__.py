"""How the storybook model was trained: `python -m storybook.training --help`."""
