"""People as AutoGen agents meet them: reviewers, user proxies, and what they decided."""
