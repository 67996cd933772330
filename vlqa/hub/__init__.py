"""Names to models: the table, loading, saving, converting published checkpoints."""
