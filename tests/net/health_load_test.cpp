// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A thousand checks a second on one core.
#include <sched.h>
#include <sys/resource.h>

#include <array>
#include <cstdio>

#include "net/health_lab.h"

namespace anycast::test {

TEST(Health, AThousandASecondAreNotLate)
{
	in_lab([] {
		// How late we are is asked, not how busy others keep the machine; servers inherit
		// it.
		const sched_param first{.sched_priority = 1};
		if (sched_setscheduler(0, SCHED_FIFO, &first))
			(void)setpriority(PRIO_PROCESS, 0, -20);
		const World world;
		Bench bench(world);
		const Process server = serve_http(world.server, {kServer, 80}, big_file());
		const Process udp = serve_udp(world, 5000, "");
		std::vector<Target> targets;
		for (int i = 0; i < 1000; i++) {
			const CheckType type = std::array{CheckType::kTcp, CheckType::kUdp,
							  CheckType::kIcmp, CheckType::kTcp}[i % 4];
			Target one = target(fmt::format("check{}", i), type,
					    type == CheckType::kUdp ? 5000 : 80);
			one.spec.interval = milliseconds(1000);
			one.spec.timeout = milliseconds(900);
			one.spec.payload = "x";
			targets.push_back(one);
		}
		bench.set(targets);
		const auto cpu_seconds = [] {
			rusage usage{};
			getrusage(RUSAGE_SELF, &usage);
			const auto seconds = [](const timeval &t) {
				return static_cast<double>(t.tv_sec) +
				       static_cast<double>(t.tv_usec) / 1e6;
			};
			return seconds(usage.ru_utime) + seconds(usage.ru_stime);
		};
		const double before = cpu_seconds();
		bench.run_for(milliseconds(5000));
		const double cpu = cpu_seconds() - before;
		const health::Lateness &late = bench.engine().lateness();
		std::uint64_t failures = 0;
		bench.engine().each([&](const CheckState &state) { failures += state.failures; });
		const double mean = static_cast<double>(late.total.count()) /
				    static_cast<double>(late.runs) / 1000;
		std::printf("%llu checks in 5 s: %.2f s of CPU, late by %.2f ms in the mean, %.2f "
			    "ms at most, %llu by more than 10 ms, %llu failed\n",
			    static_cast<unsigned long long>(late.runs), cpu, mean,
			    static_cast<double>(late.longest.count()) / 1000,
			    static_cast<unsigned long long>(late.over_10ms),
			    static_cast<unsigned long long>(failures));
		EXPECT_GT(late.runs, 4500U);
		EXPECT_LT(cpu, 5.0 * 0.6) << "one core must do it";
		EXPECT_LT(mean, 5.0 * slowness());
		EXPECT_LT(late.over_10ms * 20, late.runs) << "at most one in twenty";
		EXPECT_LT(failures * 100, late.runs);
	});
}

} // namespace anycast::test
