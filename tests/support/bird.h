// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A BIRD daemon in a namespace of the lab.
#pragma once

#include <map>
#include <string>

#include "support/process.h"

namespace anycast::test {

class Bird {
public:
	// Starts bird in the foreground, with a control socket of its own.
	Bird(const Netns &netns, const std::string &config);

	[[nodiscard]] std::string ask(const std::string &command) const; // birdc's answer
	// BGP protocol name -> "Established", "Active", "Connect: ...", ...
	[[nodiscard]] std::map<std::string, std::string> sessions() const;
	[[nodiscard]] bool established(const std::string &protocol) const;
	// Neighbour address -> BFD state, "Up" among them.
	[[nodiscard]] std::map<std::string, std::string> bfd_sessions() const;

	[[nodiscard]] std::string log() const;	       // all it has said
	[[nodiscard]] std::size_t count_flaps() const; // BGP sessions that were closed

	void stop() { process_.stop(); } // closes its sessions first
	void kill_now() { process_.kill_now(); }
	[[nodiscard]] bool running() { return process_.running(); }
	[[nodiscard]] pid_t pid() const { return process_.pid(); }

private:
	const Netns &netns_;
	std::string base_; // path without suffix: .conf, .ctl, .log
	Process process_;
};

} // namespace anycast::test
