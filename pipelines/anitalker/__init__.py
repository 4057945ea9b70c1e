"""AniTalker's renderer: a photo's feature maps, warped by flows that a 20-number code decides.

Method: AniTalker (arXiv 2405.03121, section 3.2) on LIA (arXiv 2203.09043) and StyleGAN2 (arXiv
1912.04958).
"""
