"""All of Qt lives here, and only here."""
