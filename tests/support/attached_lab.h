// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#pragma once

#include "support/cli.h"
#include "support/lab.h"

namespace anycast::test {

// The lab as most tests want it: servers on the backends, programs on all nodes, and the client's
// way through the first edge.
class AttachedLab : public Lab {
public:
	explicit AttachedLab(const EdgeSetup &setup = {}, std::uint64_t big_bytes = 16 << 20)
		: Lab(big_bytes)
	{
		start_servers();
		cli.attach_all(*this, setup);
		route_to(*edges[0]);
	}
	[[nodiscard]] const Netns &edge() const { return edges[0]->netns; } // the first

	const Cli cli;
};

} // namespace anycast::test
