"""The ensemble: learners combined by what they earned out of sample."""
