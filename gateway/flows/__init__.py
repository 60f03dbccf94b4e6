"""The data flows, one a folder: *accept* in the request, *push / read / deliver* in a task.

``signups`` into the CRM; ``referrals`` judged by what happens there; ``rewards`` that follow; ``notify`` the host;
``connections`` and ``campaigns`` that all of it rests on; ``people`` as others see them.
"""
