"""Other people's programs, met where they are."""
