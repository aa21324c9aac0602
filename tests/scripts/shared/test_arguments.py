from scripts.shared.arguments import command_line


def test_the_help_names_the_module_to_run_and_keeps_the_lines_of_the_docstring():
    text = command_line("sweep", "First line.\n\n    an example").format_help()
    assert text.startswith("usage: python -m scripts.sweep [-h]\n")
    assert "First line.\n\n    an example\n" in text
