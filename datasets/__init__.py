"""Where images come from: cards, downloads, decoders, the shapes data set and the data file."""
