# SPDX-License-Identifier: BSD-2-Clause
def plot(results, target):
    return 0
