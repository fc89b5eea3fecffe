"""Teachers: frozen pretrained backbones."""
