"""The tables of measured results at the top of the recipes' files, read back for the list of recipes."""


def read_table(text: str) -> dict[str, dict[str, str]]:
    """Read the first table of `text`: the filled cells of each row by column, under the row's first cell."""
    lines = [line.strip() for line in text.splitlines() if line.strip().startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    if len(rows) < 3:
        return {}
    columns = rows[0][1:]
    return {row[0]: {column: cell for column, cell in zip(columns, row[1:], strict=False) if cell} for row in rows[2:]}
