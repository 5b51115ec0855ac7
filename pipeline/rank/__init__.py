"""The rank stage: refined confidences for stored candidates, block by block, into the score store."""
