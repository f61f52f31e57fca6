"""The shop's services, one package each; they meet only on the wire."""
