"""What any pipeline needs of a photo: decoding, the face mesh, the crop, the matte, geometry."""
