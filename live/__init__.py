"""`make live`: ask the real service what docs/assumptions.md assumes, and write the answers into docs/live.md."""
