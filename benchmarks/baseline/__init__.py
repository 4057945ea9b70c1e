"""What the product is measured against: simpler ways to the same result."""
