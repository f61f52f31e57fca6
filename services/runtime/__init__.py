"""What every service process is made of, so that a service is only its business."""
