"""All that evaluation is measured against, one after the other.

make bench-evaluation
"""

from benchmarks.evaluation import decoding, prediction, retrieval

if __name__ == "__main__":
    prediction.main()
    decoding.main()
    retrieval.main()
