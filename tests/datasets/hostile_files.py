"""All files that are made to harm whoever reads them, by the name of what each tries."""

import hostile_archives
import hostile_arrays
import hostile_pictures
import hostile_texts
from hostile_making import MAKERS

__all__ = ["MAKERS", "hostile_archives", "hostile_arrays", "hostile_pictures", "hostile_texts"]
