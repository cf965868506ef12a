// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// BIRD's keeper in a thread of its own: a hung BIRD must not make health checks late.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "bird/speaker.h"
#include "util/fd.h"
#include "util/loop.h"

namespace anycast::agent {

class BirdWorker {
public:
	// A round's result, in the loop's thread. `round`: the newest post() that it has carried
	// out, or tried to.
	using OnStatus = std::function<void(const BirdStatus &, std::uint64_t round)>;

	static Result<std::unique_ptr<BirdWorker>> start(Loop &loop, const BirdConfig &config,
							 OnStatus on_status);
	~BirdWorker(); // waits for the round that runs, a second at most
	BirdWorker(const BirdWorker &) = delete;
	BirdWorker &operator=(const BirdWorker &) = delete;

	// What is wanted from now on; its round begins at once. Afterwards one a second.
	std::uint64_t post(Wanted wanted);

private:
	BirdWorker(Loop &loop, const BirdConfig &config, Fd wake, OnStatus on_status);
	void work();
	void deliver();

	Loop &loop_;
	bird::Speaker speaker_; // the thread's
	Fd wake_;		// eventfd: there is a result
	OnStatus on_status_;

	std::mutex mutex_; // guards what follows
	std::condition_variable changed_;
	std::optional<Wanted> wanted_;
	std::uint64_t posted_ = 0, done_ = 0;
	std::optional<BirdStatus> status_;
	bool stop_ = false;

	std::thread thread_; // last: it uses the others
};

} // namespace anycast::agent
