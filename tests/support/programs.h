// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The lab's own BPF programs (lab.bpf.c), attached in its namespaces.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "support/netns.h"

struct lab_bpf;

namespace anycast::test {

struct DropperCounts {
	std::uint64_t segments = 0;   // data segments seen
	std::uint64_t bytes = 0;      // of payload
	std::uint64_t first_lost = 0; // dropped: carried something not seen before
	std::uint64_t again_lost = 0; // dropped: retransmissions
};

class LabPrograms {
public:
	LabPrograms();
	~LabPrograms();
	LabPrograms(const LabPrograms &) = delete;
	LabPrograms &operator=(const LabPrograms &) = delete;

	// Lets `end` receive what its veth peer sends by XDP_TX or redirect.
	void pass_xdp(const LinkEnd &end);
	// Packets that leave here carry no socket hash, as if they had come over a real wire.
	void forget_hash(const LinkEnd &end);

	// All traffic of this end is tagged on the wire, and plain for its stack.
	void tag(const LinkEnd &end);

	// Packets that leave here pass the dropper. It starts switched off.
	void attach_dropper(const LinkEnd &end);
	// The same for what arrives here, behind XDP.
	void attach_dropper_ingress(const LinkEnd &end);
	// Counts the TCP data segments to that address (IPv4 or IPv6) and port (0: any), and drops
	// `per_10000` of them. The same seed drops the same positions of the sequence of segments.
	// Counters start from 0.
	void drop(std::uint64_t seed, unsigned per_10000, const std::string &address,
		  std::uint16_t port);
	void stop_dropping();
	[[nodiscard]] DropperCounts dropped() const;

private:
	struct Destroy {
		void operator()(lab_bpf *skeleton) const;
	};
	std::unique_ptr<lab_bpf, Destroy> skeleton_;
};

} // namespace anycast::test
