"""How the project is run, where its data comes from, and where results are kept."""
