"""How far what executes can be from real arithmetic, proved from the file: docs/rounding.md."""
