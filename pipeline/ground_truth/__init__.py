"""What detections are evaluated against: WIDER FACE's official files, or easy, medium and hard by face height."""
