"""Files of detections that other programs write and read: WIDER FACE text and COCO JSON."""
