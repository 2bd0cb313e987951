"""What makes a comparison fair: levels, learning-rate rule, measures, the article's rule. Never imports torch."""
