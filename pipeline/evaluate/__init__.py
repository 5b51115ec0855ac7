"""The evaluate stage: from stored candidates and refined confidences to AP, failures and calibration."""
