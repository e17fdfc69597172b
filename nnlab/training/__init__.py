"""Training: settings, batches, standardization, augmentation and the trainer."""
