"""Losses: functions on tensors, one equation each, averaged over the batch and computed in float32 or wider.

PS-HRNet prints its losses (Eq. 5, 7, 8, 11) as sums over the batch; its weights only make sense for means, which its
authors' release takes too. So everything here is a mean over images, and over elements where the equation is a
distance of maps.
"""
