"""The paper's table for held-out people: lips and swap in latent space beside cascades in RGB.

    python -m benchmarks.swaptalk --weights DIR --pixels RUN/model.safetensors --data STORE \\
        --recogniser FILE --out JSON [--quick]

Of each held-out person of a store a talking clip is drawn by `portrait`, so that the true answer is
known for every mouth, also for that of another face in the same pose. Self-driven the mouth is the
clip's own, cross-driven what another clip says. Everything is measured on squares of the face.

    clips     who talks, and what is said        methods   pictures of each row of the table
    sync      lips read from pixels and by the latent expert        flicker   what trembles
"""
