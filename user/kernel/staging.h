// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What an attach has pinned beside older pins, to take their places: the newer program, and the
// maps that were made anew for it. It may be killed at any moment; which of the two sets is in
// force the hook says alone.
#pragma once

#include <cstdint>
#include <string>

#include "kernel/attachment.h"
#include "util/result.h"

namespace anycast::staging {

// Is it the staged program that acts? Then the staged maps are the ones to read.
bool acts(const std::string &pins, const Attached &attached);

// Finishes what a killed command has begun, or takes it back. Only under the interface's lock.
Status settle(const std::string &pins, const std::string &interface);

// The staged pins of one attach. Removed when this goes, unless they took their places.
class Pins {
public:
	explicit Pins(std::string directory);
	Pins(const Pins &) = delete;
	Pins &operator=(const Pins &) = delete;
	~Pins();

	// Before it is on the hook, so that a program of ours there can always be told for ours.
	// instance: as in LoadOptions.
	Status add(int program_fd, std::uint32_t instance);
	// For when the program acts. What fails here the next command does.
	Status commit();

private:
	std::string directory_;
	bool committed_ = false;
};

} // namespace anycast::staging
