// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// One run of attach: what its two ways, fresh and again, have in common.
#pragma once

#include <string>

#include "core/image.h"
#include "kernel/attachment.h"
#include "kernel/program.h"

namespace anycast {

struct AttachJob {
	const Paths &paths;
	const std::string &interface;
	const Config &config;
	const AttachOptions &options;
	std::string pins, state; // directories
	Attached before;
	AttachReport report;

	[[nodiscard]] std::string pin(const char *name) const { return pins + "/" + name; }
	// instance: a random number under a dispatcher, else 0.
	[[nodiscard]] LoadOptions load_options(std::uint32_t instance) const;
	[[nodiscard]] Applied asked_for() const;
	void warn(std::string text) { report.warnings.push_back(std::move(text)); }

	// Asks the kernel what is on the hook, and puts it into the report.
	Status verify(XdpMode wanted);
	// The program that sees what leaves: on the tc hook, or off it.
	void place_egress(Program &program, const Image &image);
	// The rest of the report; that program; next hops.
	void finish(Program &program, const Image &image, const Applied &applied);
};

// A number for a program under a dispatcher: random, since others of ours may have been left in the
// chain by commands that were killed. Never 0.
std::uint32_t new_instance();

// Onto a hook without a program of ours: an empty one, a foreign program's, or libxdp's dispatcher.
Status attach_fresh(AttachJob &job);

// A newer program, or another configuration, in place of what we have there.
Status check_attach_again(const AttachJob &job);
Status attach_again(AttachJob &job);

} // namespace anycast
