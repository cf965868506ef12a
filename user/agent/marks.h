// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The edge's side of alternate marking: asks the agents of its backends for their half, in the
// agent's loop, and sums up what comes of it (core/mark_pull.h).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/mark_pull.h"
#include "core/model.h"
#include "health/http.h"
#include "render/marks.h"

namespace anycast::agent {

class Marks {
public:
	struct Around {
		std::function<Result<MarkReport>()> own; // this node's half, without flows
		// Who does not answer for some rounds; "": all do.
		std::function<void(const std::string &)> problem;
	};
	Marks(Loop &loop, health::HttpClient &http, Around around);
	~Marks();
	Marks(const Marks &) = delete;
	Marks &operator=(const Marks &) = delete;

	void set(const Config &config); // whom to ask; sums go on
	[[nodiscard]] nlohmann::ordered_json status() const;

private:
	struct Source {
		MarkAnswer answer; // of this round
		bool answered = false;
		std::unique_ptr<health::Probe> probe{};
		std::string node{}, why{"has not been asked yet"}; // as of the last round
		int silent = 0;					   // rounds
	};

	void begin();
	void ask(std::size_t which);
	void take(std::size_t which, const health::HttpClient::Answer &answer);
	void done_with(std::size_t which);
	void end();
	void drop_round();

	Loop &loop_;
	health::HttpClient &http_;
	Around around_;
	std::vector<Source> sources_;
	std::vector<std::pair<std::string, std::string>> not_marked_;
	std::string why_;
	MarkPull pull_;
	std::size_t waiting_ = 0;
	Loop::Timer next_ = 0, end_ = 0;
	std::shared_ptr<bool> round_; // false: what still comes is of a round that is over
};

} // namespace anycast::agent
