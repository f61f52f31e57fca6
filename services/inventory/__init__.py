"""Stock of one region: reserve, commit, release; never oversold."""
