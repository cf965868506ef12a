// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A BIRD daemon in a namespace of the lab.
#pragma once

#include <map>
#include <ostream>
#include <string>

#include "support/process.h"

namespace anycast::test {

// Of a BGP session. BIRD derives the time from two clocks: it is a millisecond more or less from
// one answer to the next.
struct SessionState {
	std::string state; // "Established", "Active", "Connect: ...", ...
	double since = 0;  // seconds of the day

	bool operator==(const SessionState &other) const;
};
std::ostream &operator<<(std::ostream &out, const SessionState &session);

class Bird {
public:
	// Starts bird in the foreground, with a control socket of its own.
	Bird(const Netns &netns, const std::string &config);

	[[nodiscard]] std::string ask(const std::string &command) const;	  // birdc's answer
	[[nodiscard]] std::map<std::string, SessionState> session_states() const; // by protocol
	[[nodiscard]] std::map<std::string, std::string> sessions() const; // without the times
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
