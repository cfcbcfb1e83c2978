"""What a compile reports: the report.json model, and its terminal, HTML and comparison forms.

Import the inner modules (`edgec.report.model`, `.text`, `.html`, `.compare`); this package imports nothing by itself,
so that `import edgec` stays light.
"""
