"""The Kubernetes API behind one port: `Cluster`, on a real API server or in memory."""

from xstilts.cluster.port import Cluster, Object, Resource

__all__ = ["Cluster", "Object", "Resource"]
