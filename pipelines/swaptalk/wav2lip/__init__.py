"""Wav2Lip (arXiv 2008.10010) on crops of 96 pixels: generator, lip-sync expert, discriminator.

Pictures are BGR in [0, 1], sound is windows of `pipelines.audio.mel_windows.MelWindows` with one
channel, [B, 1, 80, 16] in [-4, 4]; everything is float32.

    generator.Wav2Lip(width)
        .encode_face(face_input(crop [B, 3, 96, 96]))
                                -> 7 maps, which depend on the face alone and can be kept
        .encode_sound(mel)      -> [B, 16 width]
        .decode(sound, maps)    -> [B, 3, 96, 96]
        (mel, face)             all three, also of stretches: [B, T, 1, 80, 16], [B, 6, T, 96, 96]
    audio_encoder.AudioEncoder(width)
        (mel)                   -> [B, 16 width]; by itself what another lip module hears by
    expert.LipSyncExpert(width)
        .embed_sound(mel)       -> unit vectors [B, 16 width]
        .embed_face(lower_halves(crops [B, 3, 5, 96, 96]))    -> the same
        .cosine(mel, halves)    -> [B] in [0, 1], for sync_loss(cosine, in_sync)
    discriminator.QualityDiscriminator(width)
        (crops [B, 3, T, 96, 96])    -> [T B, 1] in [0, 1]
    weights.load_generator(name), load_expert(name), load_discriminator(name)

`width` is 32 in the published networks. The sound of a video frame is its window of lead 0 or 1 for
the generator (inference and training of the published one), of lead 0 from the first of the five
frames on for the expert.

Published weights (`vivavoce weights import wav2lip_gan.pth --as NAME`) are for research and
personal use only, as their page says; what is trained anew has no such limit from here.

Batch normalisation stays a layer of its own in the networks and in weights files, so that both can
be trained further; loading for inference folds it into the convolutions (`blocks.fold_norms`),
which changes the numbers by rounding only and saves 2 % of a frame's time at width 32, 7 % at 8.

A frame of the generator costs 7.9 GFLOP at width 32, 2.0 at 16 and 0.5 at 8.
"""
