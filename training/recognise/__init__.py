"""Who a face is, by dlib's recognition network: for losses in training and figures in benchmarks.

Never shipped, never used at run time; its weights are public (CC0) and are fetched by

    python -m training.recognise --out FOLDER
"""
