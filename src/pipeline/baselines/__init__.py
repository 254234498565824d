"""What a decoder has to beat: ridge regression, mean spectrum and template, envelope."""
