"""BOP scenes and results, read and written; millimetres and image conventions are converted here."""
