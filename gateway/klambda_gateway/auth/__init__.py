"""Who is asking, and may they: signatures, access keys, authorisation."""
