// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The XDP program, loaded: its skeleton with the read-only switches set and its maps made or
// reused.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/model.h"
#include "kernel/dataplane.h"
#include "kernel/program_object.h"
#include "util/result.h"

namespace anycast {

// Of what is dropped, for `drops`: through a ring buffer where the kernel has them, else through
// perf buffers.
enum class Samples { kNone, kBest, kPerf };

struct LoadOptions {
	std::uint32_t roles = AX_ROLE_EDGE;
	std::string_view build; // its object's bytes, for benchmarks; empty: the embedded one's
	bool replay = false;
	Samples samples = Samples::kNone;
	bool frags = false;	       // frames longer than a page, in several buffers
	std::uint32_t instance = 0;    // ctl.active selects it; 0, or to replay: the only one
	bool under_dispatcher = false; // as an extension, for a slot of libxdp's dispatcher
	std::string pin_dir;	       // maps are reused from and pinned to it; empty: private maps
	// Pinned flow tables of another size are no error: new ones are made, and staged.
	bool reset_flows = false;
	Limits limits;
};

// A frame's way through the program by BPF_PROG_TEST_RUN.
struct TestRun {
	std::uint32_t verdict = 0;	 // XDP_*
	std::vector<std::uint8_t> frame; // as it left the program
	std::uint32_t duration_ns = 0;
};

class Program {
public:
	static Result<Program> load(const LoadOptions &options);
	[[nodiscard]] int fd() const;
	[[nodiscard]] std::uint32_t id() const;
	[[nodiscard]] std::uint32_t
	verified_instructions() const; // 0 where the kernel does not say
	[[nodiscard]] Dataplane &dataplane() { return dataplane_; }
	// Groups of maps that were made anew beside others (sizes.h).
	[[nodiscard]] const std::set<std::string_view> &reset() const { return reset_; }

	Result<TestRun> run(std::span<const std::uint8_t> frame) const;

private:
	Program() = default;
	ProgramObject object_;
	Dataplane dataplane_;
	std::set<std::string_view> reset_;
};

} // namespace anycast
