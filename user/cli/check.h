// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What `check` looks at, one function a subject. Looks only: nothing is changed.
#pragma once

#include <string>
#include <vector>

#include "cli/context.h"
#include "core/finding.h"

namespace anycast::cli {

struct CheckInput {
	const Context &context;
	const Config &config;
	Paths paths;
	std::vector<Instance> instances;
	std::string peer_digest; // of another node; "": not asked for
};

class Findings {
public:
	void ok(std::string check, std::string text)
	{
		add(std::move(check), Level::kOk, text, "");
	}
	void warn(std::string check, std::string text, std::string advice)
	{
		add(std::move(check), Level::kWarn, std::move(text), std::move(advice));
	}
	void fail(std::string check, std::string text, std::string advice)
	{
		add(std::move(check), Level::kFail, std::move(text), std::move(advice));
	}
	[[nodiscard]] const std::vector<Finding> &list() const { return list_; }

private:
	void add(std::string check, Level level, std::string text, std::string advice)
	{
		list_.push_back({std::move(check), level, std::move(text), std::move(advice)});
	}
	std::vector<Finding> list_;
};

// check_node.cpp
void check_features(Findings &findings);
void check_hooks(const CheckInput &input, Findings &findings);
void check_links(const CheckInput &input, Findings &findings);
void check_mtu(const CheckInput &input, Findings &findings);
void check_host(const CheckInput &input, Findings &findings);

// check_routing.cpp
void check_bird(const CheckInput &input, Findings &findings);
void check_gtsm(const CheckInput &input, Findings &findings);

// check_traffic.cpp
bool wants_agent(const Config &config); // does it have health checks?
void check_agent(const CheckInput &input, Findings &findings);
void check_backends(const CheckInput &input, Findings &findings);
void check_icmp(const CheckInput &input, Findings &findings);
void check_digest(const CheckInput &input, Findings &findings);

} // namespace anycast::cli
